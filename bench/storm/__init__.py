"""The storm: subscribers that drop and resume while workers and Redis fail, and a judge."""
