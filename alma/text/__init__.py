"""Text: when two are one, how alike they are, how they are written in turns, how they are shown."""
