"""What each rule of caution costs, and what it saves."""
