"""`POST /sql`: the view asked in SQL, behind two walls."""
