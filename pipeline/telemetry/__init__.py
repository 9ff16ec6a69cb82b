"""What moonwatch says about itself: every metric in one list, and logs. Knows no stage."""
