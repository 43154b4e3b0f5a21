"""From a plan to trained and recorded trials: shards, workers, Ray, retries."""
