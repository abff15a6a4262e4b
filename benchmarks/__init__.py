"""What this project costs: beside TRL in turns in one run (`speed`), and a loss alone (`losses`)."""
