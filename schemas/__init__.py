"""Avro schemas, one file per record version (`ImageUploaded.v1.avsc`), each with an example beside it."""
