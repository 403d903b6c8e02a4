"""What mends a finding: detectors name a rewrite and the nodes that it concerns, this package makes the edits from the text.

A rewrite gives edits only where one edit is right beyond doubt; otherwise the finding has no fix. Edits touch nothing but what
they replace, never remove a comment, and bring the imports that they need.
"""
