"""Read, encode, write: from a view to stored embeddings, resumable and in flat memory."""
