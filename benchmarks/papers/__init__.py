"""The papers in miniature: the experiments of examples/paper, their runs, and the page that tells what came out."""
