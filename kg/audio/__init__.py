"""From audio file to named feature families."""
