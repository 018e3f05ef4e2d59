"""Reports: records in, one self-contained page out. Computes nothing that was not measured."""
