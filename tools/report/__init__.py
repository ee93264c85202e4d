"""What happened in a run, for people: the guest, the plane switches, how long planes were held."""
