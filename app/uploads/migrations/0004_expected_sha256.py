from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("uploads", "0003_joining")]

    operations = [
        migrations.AddField(
            model_name="upload",
            name="expected_sha256",
            field=models.CharField(
                blank=True,
                default="",
                help_text="What the client says the SHA-256 is; empty: it did not say.",
                max_length=64,
            ),
        ),
    ]
