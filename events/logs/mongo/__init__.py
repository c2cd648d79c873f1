"""The event log on MongoDB: one document a chunk, no transaction of several documents.

The commit of an append is the insert of its chunk, whose `_id` is (partition, sequence). Everything else is written before
it, as a claim that is harmless if the chunk never comes, or after it, as a projection that can be repeated.

- *Fencing.* Two writers with one sequence insert the same `_id`: one of them commits. Chunks are never deleted, so who
  once lost a sequence has lost it for ever.
- *Ids.* A claim names its owner: partition, sequence and token of an attempt. An id is known where the chunk of its owner
  is there and bears the owner's token. Where it bears another, the attempt has lost and its claims may be taken over.
  Where there is no chunk, the attempt may still commit: an empty chunk of a fresh token is put in its place first, after
  which it cannot. A claim changes hands by an update that names the owner before, so at any time one attempt at most
  holds it, and it is given only after that attempt can no longer commit: no id is in two chunks. An attempt takes its
  claims back only where it is certain that it did not commit: no accepted event is thrown out as known.
- *Numbers.* Unique keys fence whoever gives one again. What an attempt has numbered stays when it fails, since others may
  have read it: a number without an event is in no set.
- *Turns.* Whoever numbers holds the log's turn, a document with a lease, so that the order of arrival is the order of the
  numbering in all partitions, and `revision` tells whether a cache of it still holds. Safety does not depend on it: if a
  holder sleeps over its lease, a visit may be parted that the order of arrival would have joined, and nothing else.
- *Answers that are lost.* The sequence is asked for; where it is empty, it is filled with an empty chunk. So the writer
  knows before it says that nothing was written; and where the server does not tell, it says that nobody knows (LogUnsure).
- *Inbox and accounts* are SQL tables. Those of an append lie in its chunk, and one SQL transaction takes them over and
  moves a mark, so each chunk counts there once.
"""

from events.logs.mongo.log import MongoEventLog

__all__ = ["MongoEventLog"]
