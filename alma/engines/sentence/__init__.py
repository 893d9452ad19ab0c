"""Models of sentence-transformers: ``embed`` holds ``SentenceEmbedder``."""
