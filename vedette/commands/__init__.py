"""The command line: one file a verb, each with a function of the verb's name. Heavy imports happen inside them."""
