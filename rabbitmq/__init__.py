"""All there is to say about the broker: what it is made of, what enters it, what comes out."""
