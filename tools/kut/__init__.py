"""kvm-unit-tests, built by the user, run unmodified: its list of tests, the runs, what is known to fail, the table."""
