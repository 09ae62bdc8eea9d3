"""From the raw archive to a Hub dataset repository: plan, shards, card, upload."""
