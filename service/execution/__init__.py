"""Plan, train and record the trials of a sweep: shards, workers, Ray, retries."""
