"""Batches become updates: step, optimizer, schedules in tokens, checkpoints, the trainer. (torch)"""
