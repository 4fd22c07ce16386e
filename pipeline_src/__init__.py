"""Super-resolution networks from photographs to small, measured files on an edge device."""
