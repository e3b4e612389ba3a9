"""Convex optimization that penalties and solvers share: functions, proximal maps, metrics, weights."""
