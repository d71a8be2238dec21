"""The film of the walk-through: plays a storyboard against the running service, and records it."""
