"""What is wrong with this machine, and what to do about it: checks that are independent of each other."""
