"""What a machine with one GPU is asked: the same figures, how fast, in how much memory.

parity     every command on a processor and on the GPU, figure by figure
work       edit, train, sampling, reading a shift and an audit on models of 1B and 8B weights
loss       `linear_kl` against eager code, torch.compile and Liger-Kernel
__main__   all of it in one run, as JSON and a table
"""
