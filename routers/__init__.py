"""Where does it live? The directory, the shard registry, and Django's two database routers."""
