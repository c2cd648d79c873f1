"""The demo reader at `/demo/`: the website of a customer, and the living example of docs/tracker.md.

It knows nothing of Affluence but `/tracker.js`, `/embed/recommendations.js` and the address of the panel; what it tells stands
in `static/reader/told.js`.
"""
