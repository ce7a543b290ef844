"""Observations made by running: noise scale, throughput, memory, batch sizes side by side. (torch)"""
