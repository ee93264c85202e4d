"""`strata debug`: the terminal debugger. A session holds what is looked at, panels show it, moves change it."""
