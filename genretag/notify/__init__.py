"""Ask players' servers to read changed files again: Navidrome, Jellyfin, Plex and MPD."""
