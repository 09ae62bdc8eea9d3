"""From a name or a folder to a classifier and its processor, and from both to the logits of a split."""
