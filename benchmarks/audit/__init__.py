"""What an audit finds and whom it accuses: the tables of docs/audit.md."""
