"""What `sem-train` can be told, a module a command. Nothing heavy is imported before it is needed."""
