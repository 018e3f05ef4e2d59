"""How close realisations come to their targets: the tables of docs/fidelity.md and others."""
