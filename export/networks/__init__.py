"""The networks of the zoo as PyTorch modules; each file has one factory, network()."""
