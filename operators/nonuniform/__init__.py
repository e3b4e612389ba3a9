"""The ways in which `invgen.operators.nufft` computes: FINUFFT, cuFINUFFT, and our own gridding."""
