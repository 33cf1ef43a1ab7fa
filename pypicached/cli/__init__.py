"""The commands of `pypicached`: each is one call and its printing."""
