"""A file a kind of fault; `KIND` is its class, and the file's name is the kind's."""
