"""What exists and what may happen: records, names, decisions. Pure: no I/O, no clock, no asyncio."""
