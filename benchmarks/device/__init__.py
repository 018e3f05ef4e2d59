"""What a machine with one GPU is to be asked: parity, speed and memory, part by part.

loss  `linear_kl` at a Llama's head against Liger-Kernel, eager and compiled code
"""
