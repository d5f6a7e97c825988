"""The collector behind this one, in proxy mode: which it is, what still has to be told it, and how that is going."""
