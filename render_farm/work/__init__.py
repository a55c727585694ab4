"""One task at work: renderers looked after from outside, samples written as shards."""
