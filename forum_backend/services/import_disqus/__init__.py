"""Taking the threads and posts of a Disqus export into a forum, as often as one likes: nothing comes in twice.

A thread's title, address, identifier, author, time and state are kept, a post's message, nesting, author, time and
state. Categories, the messages of threads and the inner ids of posts have no place in a forum here.
"""

from forum_backend.services.import_disqus.file import Progress, import_file
from forum_backend.services.import_disqus.report import ImportReport, Remark
from forum_backend.services.import_disqus.run import import_export

__all__ = ["ImportReport", "Progress", "Remark", "import_export", "import_file"]
