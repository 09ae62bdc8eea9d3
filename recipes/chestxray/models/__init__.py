"""From a name or a folder to a classifier and its processor; and from these to logits of a whole split."""
