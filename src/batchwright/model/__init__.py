"""(B, T) ids become (B, T, D) and logits: embedding, attention isolated per document, Transformer, loss. (torch)"""
