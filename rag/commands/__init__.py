"""What each command does between flags and text."""
