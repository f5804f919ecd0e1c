"""Who asked for what and what came of it: records, the journal that keeps them as lines of JSON, and questions to it.
A denial is in the journal before its answer leaves; everything else that shows records (tables, sinks) reads the journal.
"""

from guard.audit.journal import Journal
from guard.audit.query import Filter, Reading, follow, read
from guard.audit.record import Counts, Event, FieldChange, Record
from guard.audit.reference import References

__all__ = ["Counts", "Event", "FieldChange", "Filter", "Journal", "Reading", "Record", "References", "follow", "read"]
