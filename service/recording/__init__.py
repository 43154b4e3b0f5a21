"""Write trials as MLflow runs, and read them back. Only this package imports mlflow."""
