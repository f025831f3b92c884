"""The ground floor: errors, units and time. Imports nothing of Leadline."""
